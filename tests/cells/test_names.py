import numpy as np

from rowgraph.cells.names import NAME_DIM, WORD_DIM, name_vector, word_vector


def near(one, other):
    return float(one @ other / np.linalg.norm(one) / np.linalg.norm(other))


WORDS = ("driver", "order", "user", "post", "ticket", "customer", "product", "match", "station",
         "patient", "account", "vehicle")


def test_ways_to_write_a_name_are_nearer_to_each_other_than_to_other_names():
    same = [near(name_vector(f"{w}Id"), name_vector(f"{w}_id")) for w in WORDS]
    alike = [near(name_vector(w), name_vector(f"{w}s")) for w in WORDS]
    other = [near(name_vector(w), name_vector(v)) for w in WORDS for v in WORDS if w < v]
    assert min(same) > 0.99
    assert np.mean(alike) > 0.25 > abs(np.mean(other)) + 0.1


def test_vectors_are_the_same_on_any_day_and_for_any_name():
    np.testing.assert_allclose(name_vector("results", "points")[:3],
                               [0.60179061, -0.40156493, 1.25650299], rtol=1e-6)
    for odd in ("", "^a.*$", "größe", "?!", "a" * 10_000, "日付"):
        assert np.isfinite(name_vector(odd)).all()
        assert np.isfinite(word_vector(odd)).all()
    assert name_vector("a").shape == (NAME_DIM,)
    assert word_vector("a b c").shape == (WORD_DIM,)


def test_values_that_share_words_are_nearer_than_those_that_do_not():
    shared = [near(word_vector(f"north {w}"), word_vector(f"north {v}"))
              for w in WORDS for v in WORDS if w < v]
    other = [near(word_vector(w), word_vector(v)) for w in WORDS for v in WORDS if w < v]
    assert np.mean(shared) > abs(np.mean(other)) + 0.15
