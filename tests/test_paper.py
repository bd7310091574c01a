"""Each value of the paper, once, with its section: the defaults of the `paper` profile."""

import pytest

from rowgraph.profiles import load_profile

PAPER = load_profile("paper")
BART, SAGE = PAPER.bart_checkpoint, PAPER.sage_weights
DOWNSTREAM = PAPER.downstream_metrics


@pytest.mark.parametrize(
    ("found", "expected", "where"),
    [
        ([d.name for d in PAPER.by_role("pretrain")],
         ["rel-trial", "rel-avito", "rel-hm", "rel-amazon", "rel-event", "rel-stack"],
         "4.2: six databases for pre-training"),
        ([d.name for d in PAPER.by_role("heldout")], ["rel-f1"], "4.2: rel-f1 held out"),
        (PAPER.by_role("heldout")[0].tasks, ("driver-dnf",), "5.1: the task"),
        (PAPER.sampled_rows.rows, 100_000, "4.2: rows sampled"),
        (PAPER.linearized_corpus.train, 0.70, "4.2: 70/10/20"),
        (PAPER.linearized_corpus.validation, 0.10, "4.2: 70/10/20"),
        (PAPER.linearized_corpus.test, 0.20, "4.2: 70/10/20"),
        (BART.checkpoint, "facebook/bart-large", "4.3.1, footnote 1"),
        (BART.max_tokens, 1024, "4.3.1: maximum sequence length"),
        (BART.mask_table, 0.30, "4.3.1: table names"),
        (BART.mask_attribute, 0.20, "4.3.1: attribute names"),
        (BART.mask_value, 0.40, "4.3.1: cell values"),
        (BART.epochs, 50, "4.3.1: epochs"),
        (BART.effective_batch, 128, "4.3.1: effective batch size"),
        (BART.decoder_word_drop, 0.0, "4.3.1: plain cross-entropy, nothing added"),
        (BART.bag_of_tokens_weight, 0.0, "4.3.1: plain cross-entropy, nothing added"),
        (SAGE.hidden, 256, "4.1 and 4.3.2: hidden channels"),
        (SAGE.layers, 2, "4.1: two shared SAGEConv layers"),
        (SAGE.fan_out, (20, 10), "4.3.2: neighbours per hop"),
        (SAGE.batch, 16_384, "4.3.2: batch size"),
        (SAGE.epochs, 20, "4.3.2: 20-epoch schedule"),
        (SAGE.learning_rate, 1e-4, "4.3.2: Adam"),
        (SAGE.mask_probability, 0.15, "4.3.2 and Table 2"),
        (SAGE.alpha, 0.7, "4.3.2: Eq. (1)"),
        (SAGE.gamma, 2.0, "4.3.2: Eq. (2)"),
        (SAGE.epsilon, 1e-6, "4.3.2: Eq. (2)"),
        (SAGE.seeds_per_epoch, None, "4.3.2: every node"),
        (DOWNSTREAM.date_dim, 32, "5.1: date encoder"),
        (set(DOWNSTREAM.variants) >= {
            "bart_gnn_frozen", "bart_gnn_finetuned", "bart_head", "random_head",
            "random_gnn_frozen", "random_gnn_finetuned"}, True, "5.3: the rows of Table 4"),
    ],
    ids=lambda value: value if isinstance(value, str) and ":" in value else "",
)
def test_the_paper_profile_carries_the_papers_value(found, expected, where):
    assert found == expected, where
