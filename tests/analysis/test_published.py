import math

import pytest

from analysis.published import TEST_SPLITS, Fact, display_name, find, load, parse

HEADER = "table,dataset,source,system,num_samples,setting,metric,mean,std"


def printed(table: str, source: str, dataset: str, system: str, L: int, setting: str) -> dict[str, Fact]:
    return {
        fact.metric: fact
        for fact in load()
        if (fact.table, fact.source, fact.dataset, fact.system, fact.num_samples, fact.setting)
        == (table, source, dataset, system, L, setting)
    }


def test_there_are_118_facts_of_three_tables() -> None:
    by_table = {table: sum(fact.table == table for fact in load()) for table in ("2a", "2b", "3")}
    assert by_table == {"2a": 60, "2b": 44, "3": 14}
    assert len(load()) == 118


def test_numbers_are_those_of_the_paper() -> None:
    avg = printed("2a", "kruengkrai2019", "ptb", "lstm-vae-avg", 10, "standard")
    assert {name: (f.mean, f.std) for name, f in avg.items()} == {
        "nll": (94.3, 0.4),
        "kl": (8.1, 0.2),
        "ppl": (73.8, 1.5),
    }
    yahoo = printed("2b", "kruengkrai2019", "yahoo", "lstm-vae", 5, "inputless")
    assert {name: (f.mean, f.std) for name, f in yahoo.items()} == {
        "nll": (464.3, 1.2),
        "kl": (22.2, 1.7),
        "ppl": (334.8, 4.9),
    }
    bowman = printed("2a", "bowman2016", "ptb", "lstm-lm", 0, "inputless")
    assert {name: (f.mean, f.std, f.decimals) for name, f in bowman.items()} == {
        "nll": (135.0, None, 0),
        "ppl": (600.0, None, 0),
    }
    assert printed("2a", "xu2018", "ptb", "lstm-vmf-vae", 1, "inputless")["kl"].mean == 18.6
    assert printed("2b", "yang2017", "yahoo", "cnn-vae+init", 1, "standard")["kl"].decimals == 1
    assert printed("2b", "kim2018", "yahoo", "sa-vae", 1, "standard")["ppl"].mean == 60.4
    assert printed("3", "he2019", "yahoo", "lstm-vae-ain+anneal", 1, "standard")["nll_iw"].mean == 326.7


def test_find_returns_only_what_kruengkrai_reports() -> None:
    fact = find("3", "ptb", "lstm-vae-avg", 5, "standard", "nll_iw")
    assert fact
    assert (fact.mean, fact.std) == (95.1, 0.8)
    assert find("2", "ptb", "lstm-vmf-vae", 1, "standard", "nll") is None
    assert find("2", "pydocs", "lstm-lm", 0, "standard", "nll") is None
    assert find("2", "ptb", "lstm-vae", 2, "standard", "nll") is None


def test_names_are_printed_as_in_the_paper() -> None:
    assert display_name("lstm-vmf-vae") == "LSTM-vMF-VAE"
    assert display_name("cnn-vae-init") == display_name("cnn-vae+init") == "CNN-VAE+init"
    assert display_name("lstm-iwae") == "LSTM-IWAE"
    assert display_name("my-own") == "my-own"


def test_token_counts_convert_each_published_nll_into_its_ppl() -> None:
    pairs = 0
    for nll in load():
        ppl = find("2", nll.dataset, nll.system, nll.num_samples, nll.setting, "ppl")
        if nll.metric != "nll" or nll.table == "3" or nll.source != "kruengkrai2019":
            continue
        sentences, tokens = TEST_SPLITS[nll.dataset]
        low, high = (math.exp((nll.mean + e) * sentences / tokens) for e in (-0.05, 0.05))
        assert ppl is not None
        assert ppl.std is not None
        # The mean of exponentials lies above the exponential of the mean, by half the variance.
        convexity = ppl.std**2 / (2 * ppl.mean)
        assert low - 0.05 <= ppl.mean <= high + convexity + 0.05, (nll, ppl)
        pairs += 1
    assert pairs == 24


@pytest.mark.parametrize(
    ("lines", "complaint"),
    [
        ([HEADER.replace("metric", "measure")], "columns are"),
        ([HEADER, "2a,ptb,bowman2016,LSTM-LM,,standard,nll,a hundred,"], "line 2"),
        ([HEADER, "2a,ptb,bowman2016,LSTM-LM,,standard,nll,nan,"], "not finite"),
        ([HEADER, "2a,ptb,bowman2016,LSTM-LM,,standard,nll_iw,1,"], "no metric 'nll_iw'"),
        ([HEADER, "2a,ptb,nobody,LSTM-LM,,standard,nll,1,"], "unknown source 'nobody'"),
        ([HEADER, "2a,wiki,kim2018,LSTM-LM,,standard,nll,1,"], "unknown dataset 'wiki'"),
        ([HEADER, "2a,ptb,kim2018,LSTM-LM,,upside,nll,1,"], "unknown setting 'upside'"),
        ([HEADER, "9,ptb,kim2018,LSTM-LM,,standard,nll,1,"], "line 2"),
        ([HEADER, "2a,ptb,kim2018,LSTM-LM"], "line 2"),
        ([HEADER] + ["2a,ptb,kim2018,LSTM-LM,,standard,nll,1,"] * 2, "line 3: this fact occurs twice"),
    ],
)
def test_a_damaged_file_is_refused(lines: list[str], complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        parse(lines)
