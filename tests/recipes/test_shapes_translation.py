"""The small run of translation: what it compares, and what it tells."""

from rich.console import Console

from res2net.recipes.shapes_translation import GOALS, Arguments, configuration, run
from res2net.tasks.translate import synthetic as shape_masks


def test_networks_of_one_cost_are_trained_alike():
    ours, plain = (configuration(Arguments(name)) for name in ("res2_generator_tiny", "resnet_generator_tiny"))
    assert ours.model.model != plain.model.model
    assert (ours.task, ours.data, ours.optim, ours.seed) == (plain.task, plain.data, plain.optim, plain.seed)


def test_the_table_has_the_copy_and_what_was_known_before_and_after(tmp_path, shapes_with):
    with shapes_with(train=8, val=3):
        shape_masks.shape_masks_source.cache_clear()
        table = run(Arguments(epochs=1, out=str(tmp_path / "run")), Console(quiet=True))
    shape_masks.shape_masks_source.cache_clear()
    rows = {row[0]: row for row in table.rows}
    assert set(rows) == {"SSIM", "PSNR, dB", "VIF"}
    _, untrained, copy, trained, goal, word = rows["SSIM"]
    assert goal == GOALS["SSIM"]
    assert word == ("reached" if trained >= goal else "missed")
    assert len({untrained, copy, trained}) == 3
    assert (tmp_path / "run" / "report.html").is_file()
