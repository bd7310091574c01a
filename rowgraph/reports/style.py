"""How the page looks: one column that a phone can hold, tables that scroll inside their own box,
colours that follow the reader's light or dark, and paper."""

STYLE = """
:root{--paper:#fff;--ink:#1d2126;--faint:#5c6570;--line:#dfe3e8;--shadow:#c3cad2;--shade:#f5f7f9;--model:#0b62c4;
--baseline:#b2520c;--published:#6a4c9c;--ahead:#1b7a43;--behind:#b3261e}
@media (prefers-color-scheme:dark){:root{--paper:#15181c;--ink:#e6e9ed;--faint:#a0a9b4;
--line:#343b44;--shadow:#000;--shade:#1e2329;--model:#6cb0ff;--baseline:#f0a060;--published:#bfa2ec;
--ahead:#6fd197;--behind:#ff8a80}}
*{box-sizing:border-box}
html{scroll-behavior:smooth;-webkit-text-size-adjust:100%}
body{margin:0;background:var(--paper);color:var(--ink);
font:16px/1.55 system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",sans-serif}
a{color:var(--model)}
.page{max-width:1380px;margin:0 auto;padding:1.5rem clamp(1rem,3vw,2.5rem) 4rem}
h1{font-size:clamp(1.5rem,4vw,2.1rem);line-height:1.2;margin:.4rem 0 .3rem;overflow-wrap:anywhere}
h2{font-size:1.4rem;line-height:1.25;margin:3rem 0 .6rem;padding-top:.9rem;
border-top:2px solid var(--ink)}
h3{font-size:1.1rem;line-height:1.3;margin:2rem 0 .5rem;overflow-wrap:anywhere}
h4{font-size:.95rem;margin:1.2rem 0 .4rem;overflow-wrap:anywhere}
p,li{max-width:75ch;overflow-wrap:anywhere}
p{margin:.5rem 0}
.lead{color:var(--faint);margin:0 0 1rem}
.note,figcaption,.legend{color:var(--faint);font-size:.86rem;line-height:1.45}
nav ol{list-style:none;margin:0;padding:0}
nav a{color:var(--faint);text-decoration:none;display:block;padding:.22rem 0}
nav a:hover,nav a:focus{color:var(--ink);text-decoration:underline}
nav{font-size:.9rem}
@media (min-width:1100px){.page{display:grid;grid-template-columns:11rem minmax(0,1fr);gap:3rem}
nav{position:sticky;top:1.5rem;align-self:start}main>h2:first-of-type{margin-top:1rem}}
@media (max-width:1099px){nav ol{display:flex;flex-wrap:wrap;gap:0 1.1rem;
border-bottom:1px solid var(--line);padding-bottom:.5rem}}
.answers{display:grid;gap:.9rem;grid-template-columns:repeat(auto-fill,minmax(min(100%,25rem),1fr));
margin:1rem 0;padding:0;list-style:none}
.answers>li{border:1px solid var(--line);border-radius:.5rem;padding:.7rem .95rem .8rem;
max-width:none}
.answers h3{margin:0 0 .35rem;font-size:1rem}
.answers h3 small{font-weight:400;color:var(--faint)}
.answers p{margin:.3rem 0 0;font-size:.93rem}
.answers .figures{color:var(--faint);font-size:.84rem}
.verdict{display:inline-block;font-size:.78rem;font-weight:600;line-height:1;border-radius:1rem;
padding:.25rem .55rem;margin-right:.4rem;border:1px solid currentColor;color:var(--faint);
white-space:nowrap;vertical-align:.06em}
.verdict.ahead{color:var(--ahead)}.verdict.behind{color:var(--behind)}
figure{margin:1.2rem 0}
.panels{display:grid;gap:1rem 1.4rem;
grid-template-columns:repeat(auto-fill,minmax(min(100%,19.5rem),1fr));align-items:start}
.maps .panels{grid-template-columns:repeat(auto-fill,minmax(min(100%,28rem),1fr))}
svg{display:block;width:100%;height:auto;font-family:inherit}
svg *{stroke-linejoin:round}
figcaption{margin-top:.6rem;max-width:85ch}
.key{display:flex;flex-wrap:wrap;gap:.15rem 1rem;margin:.5rem 0 0;padding:0;list-style:none;
font-size:.84rem}
.key li::before{content:"";display:inline-block;width:.7em;height:.7em;border-radius:50%;
margin-right:.4em;background:var(--c)}
.box{overflow-x:auto;margin:.5rem 0 1rem;border:1px solid var(--line);border-radius:.4rem;
max-width:100%;width:fit-content;
background:linear-gradient(90deg,transparent,var(--paper) 70%) right/3rem 100% no-repeat local,
radial-gradient(farthest-side at 100% 50%,var(--shadow),transparent) right/.55rem 100% no-repeat
scroll}
.box:focus-visible{outline:2px solid var(--model)}
table{border-collapse:separate;border-spacing:0;font-size:.88rem;line-height:1.35;
font-variant-numeric:tabular-nums}
th,td{padding:.34rem .7rem;text-align:left;vertical-align:top;border-top:1px solid var(--line);
white-space:nowrap}
td.wide{white-space:normal;min-width:22rem;max-width:30rem;overflow-wrap:anywhere}
thead th{border-top:0;color:var(--faint);font-weight:600;vertical-align:bottom;
background:var(--shade);white-space:normal;min-width:4.2rem}
.n{text-align:right}
tbody th{font-weight:400;position:sticky;left:0;background:var(--paper);z-index:1;
border-right:1px solid var(--line);white-space:normal;min-width:11.5rem;max-width:18rem;
overflow-wrap:break-word}
thead th:first-child{position:sticky;left:0;z-index:2}
tr.band th{background:var(--shade);color:var(--faint);font-weight:600;font-size:.82rem;
position:static;max-width:none;white-space:nowrap;border-right:0}
tr.band span{position:sticky;left:.7rem}
td strong,th strong{font-weight:700}
.dots{width:110px;height:14px;overflow:visible}
abbr{text-decoration:none}
thead abbr{text-decoration:underline dotted var(--faint) 1px;text-underline-offset:.2em;cursor:help}
details{margin:.8rem 0;border:1px solid var(--line);border-radius:.4rem;padding:0 .9rem}
summary{cursor:pointer;padding:.55rem 0;font-weight:600;overflow-wrap:anywhere}
details[open]>summary{border-bottom:1px solid var(--line);margin-bottom:.6rem}
details .box{max-height:34rem;overflow:auto}
details thead th{position:sticky;top:0;z-index:2}
details thead th:first-child{z-index:3}
@media (max-width:600px){body{font-size:15px}tbody th{min-width:7.5rem;max-width:8.5rem}
th,td{padding:.34rem .5rem}details{padding:0 .6rem}}
@media print{:root{--paper:#fff;--ink:#000;--faint:#444;--line:#bbb;--shade:#f2f2f2;
--model:#0b62c4;--baseline:#b2520c;--published:#6a4c9c;--ahead:#1b7a43;--behind:#b3261e}
nav{display:none}.dots{width:70px}.legend{break-after:avoid}.page{display:block;max-width:none;padding:0}body{font-size:10pt}
.box{overflow:visible;max-height:none!important;border:0}table{font-size:8pt}
th,td{white-space:normal;padding:.15rem .35rem;position:static!important}
figure,.answers>li,tr{break-inside:avoid}h2,h3{break-after:avoid}}
""".strip()
