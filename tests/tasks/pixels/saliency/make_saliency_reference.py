"""Write what PySODMetrics makes of `saliency_cases` to `saliency_reference.json`, which the tests read.

It needs an older NumPy than this library, so that it has an environment of its own:

    uv run --no-project --with pysodmetrics==1.6.2 python tests/metrics/make_saliency_reference.py
"""

import json
import warnings
from importlib.metadata import version
from pathlib import Path

import numpy as np
import py_sod_metrics
from saliency_cases import cases, digest

PLACE = Path(__file__).with_name("saliency_reference.json")


def toolbox():
    return {
        "F": py_sod_metrics.Fmeasure(),
        "weighted_F": py_sod_metrics.WeightedFmeasure(),
        "MAE": py_sod_metrics.MAE(),
        "S": py_sod_metrics.Smeasure(),
        "E": py_sod_metrics.Emeasure(),
    }


def results(measures, curves=False):
    of_f, of_e = measures["F"].get_results(), measures["E"].get_results()["em"]
    f_curve, e_curve = of_f["fm"]["curve"], of_e["curve"]
    precision, recall = of_f["pr"]["p"], of_f["pr"]["r"]
    values = {
        "max_F": f_curve.max(),
        "mean_F": f_curve.mean(),
        "adaptive_F": of_f["fm"]["adp"],
        "weighted_F": measures["weighted_F"].get_results()["wfm"],
        "MAE": measures["MAE"].get_results()["mae"],
        "S": measures["S"].get_results()["sm"],
        "max_E": e_curve.max(),
        "mean_E": e_curve.mean(),
        "adaptive_E": of_e["adp"],
    }
    values = {name: float(value) for name, value in values.items()}
    if curves:
        every = {"precision": precision, "recall": recall, "F": f_curve, "E": e_curve}
        values |= {name: np.asarray(curve).tolist() for name, curve in every.items()}
    return values


def main():
    warnings.simplefilter("ignore")
    content = {"pysodmetrics": version("pysodmetrics"), "numpy": np.__version__, "cases": digest()}
    for kind, stretch in (("stretched", True), ("plain", False)):
        every, single = toolbox(), {}
        for name, saliency, mask in cases():
            alone = toolbox()
            for measures in (every, alone):
                for measure in measures.values():
                    if stretch:
                        measure.step(saliency, mask.astype(np.uint8) * 255)
                    else:
                        measure.step(saliency / 255, mask, normalize=False)
            single[name] = results(alone)
        content[kind] = {"single": single, "all": results(every, curves=True)}
    PLACE.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
