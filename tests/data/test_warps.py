from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seqsum.data.counter_random import random_uniform
from seqsum.data.warps import AFFINE_NUMBERS, ELASTIC_NUMBERS, random_affine, random_elastic, warp

STILL = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}
COUNT = 2_000


def numbers(count: int, draws: int = AFFINE_NUMBERS, seed: int = 0) -> Tensor:
    return random_uniform(seed, torch.arange(count), draws)


def random_images(count: int = 5, size: int = 28) -> Tensor:
    return torch.rand(count, 1, size, size, generator=torch.Generator().manual_seed(9))


def parameters(drawn: Tensor | None = None, **limits: float) -> dict[str, Tensor]:
    """Factor random maps into rotation · [[stretch_x, slant], [0, stretch_y]] and a shift in pixels."""
    maps = random_affine(numbers(COUNT) if drawn is None else drawn, **limits).double()
    angle = torch.atan2(maps[:, 1, 0], maps[:, 0, 0])
    upright = torch.stack([torch.stack([angle.cos(), angle.sin()], 1), torch.stack([-angle.sin(), angle.cos()], 1)], 1)
    core = upright @ maps[:, :, :2]
    shift = maps[:, :, 2] * limits.get("size", 28) / 2
    return {
        "rotation": angle.rad2deg(),
        "scale_x": core[:, 0, 0] - 1,
        "scale_y": core[:, 1, 1] - 1,
        "shear": core[:, 0, 1],
        "shift_x": shift[:, 0],
        "shift_y": shift[:, 1],
    }


def test_limits_of_zero_give_the_identity():
    affine = random_affine(numbers(3), **STILL)
    assert affine.tolist() == [[[1, 0, 0], [0, 1, 0]]] * 3


def test_the_identity_leaves_images_unchanged():
    images = random_images()
    torch.testing.assert_close(warp(images, random_affine(numbers(len(images)), **STILL)), images)


@pytest.mark.parametrize(("axis", "dim"), [(0, -1), (1, -2)])
@pytest.mark.parametrize("pixels", [1, -1, 3])
def test_a_shift_by_whole_pixels_equals_roll_with_black_from_outside(pixels, axis, dim):
    images = random_images()
    affine = random_affine(numbers(len(images)), **STILL)
    affine[:, axis, 2] = pixels * 2 / 28
    rolled = images.roll(-pixels, dims=dim)
    outside = range(28 - pixels, 28) if pixels > 0 else range(-pixels)
    expected = rolled.index_fill(dim, torch.tensor(outside), 0.0)
    torch.testing.assert_close(warp(images, affine), expected, atol=1e-5, rtol=0)


def test_a_constant_displacement_equals_a_shift():
    images = random_images()
    still = random_affine(numbers(len(images)), **STILL)
    shifted = still.clone()
    shifted[:, :, 2] = torch.tensor([0.11, -0.07])
    displacement = torch.tensor([0.11, -0.07]).expand(len(images), 28, 28, 2)
    torch.testing.assert_close(warp(images, still, displacement), warp(images, shifted))


def test_a_quarter_turn_equals_rot90():
    images = random_images()
    turn = torch.tensor([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0]]).expand(len(images), 2, 3)
    torch.testing.assert_close(warp(images, turn), images.rot90(1, dims=(-2, -1)), atol=1e-5, rtol=0)


def test_halving_equals_average_pooling():
    images = random_images(size=56)
    affine = random_affine(numbers(len(images)), **STILL)
    torch.testing.assert_close(warp(images, affine), F.avg_pool2d(images, 2), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [28, 40])
def test_affine_parameters_fill_their_ranges_and_no_more(size):
    drawn = parameters(rotation=25.0, scale=0.1, shear=0.3, shift=3.0, size=size)
    limits = {"rotation": 25.0, "scale_x": 0.1, "scale_y": 0.1, "shear": 0.3, "shift_x": 3.0, "shift_y": 3.0}
    for name, limit in limits.items():
        assert drawn[name].abs().max() <= limit + 1e-5, name
        assert drawn[name].min() < -0.98 * limit, name
        assert drawn[name].max() > 0.98 * limit, name


def test_affine_parameters_are_drawn_independently():
    drawn = torch.stack(list(parameters(rotation=25.0, scale=0.1, shear=0.3, shift=3.0).values()))
    assert (drawn.corrcoef() - torch.eye(len(drawn))).abs().max() < 0.1


@pytest.mark.parametrize("name", ["rotation", "scale", "shear", "shift"])
def test_one_limit_moves_its_own_parameters_alone(name):
    drawn = parameters(**(STILL | {name: 0.2}))
    moved = {key for key, values in drawn.items() if values.abs().max() > 1e-4}
    assert moved == {key for key in drawn if key.startswith(name)}


def test_each_number_is_its_parameters_share_of_the_limit():
    shares = torch.tensor([[0.5, -1.0, 0.25, -0.5, 0.75, -0.125]])
    found = parameters(shares, rotation=20.0, scale=0.1, shear=0.4, shift=2.0)
    expected = {"rotation": 10.0, "scale_x": -0.1, "scale_y": 0.025, "shear": -0.2, "shift_x": 1.5, "shift_y": -0.25}
    assert {name: values.item() for name, values in found.items()} == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("direction", [0, 1])
def test_elastic_numbers_are_shifts_in_x_then_in_y(direction):
    shares = torch.zeros(1, 2, 4, 4)
    shares[0, direction] = 0.5
    pixels = random_elastic(shares.flatten(1), strength=1.5) * 28 / 2
    torch.testing.assert_close(pixels[..., direction], torch.full((1, 28, 28), 0.75))
    assert not pixels[..., 1 - direction].any()


def test_elastic_displacements_stay_within_their_strength():
    pixels = random_elastic(numbers(500, ELASTIC_NUMBERS), strength=1.5) * 28 / 2
    assert pixels.shape == (500, 28, 28, 2)
    assert 1.4 < pixels.abs().max() <= 1.5 + 1e-5


def test_elastic_displacements_never_fold_the_image():
    pixels = random_elastic(numbers(500, ELASTIC_NUMBERS), strength=1.5) * 28 / 2
    assert pixels[..., 0].diff(dim=2).min() > -1  # neighbours in a row keep their order
    assert pixels[..., 1].diff(dim=1).min() > -1  # and in a column


@pytest.mark.parametrize("columns", [28, 20])
def test_outside_may_be_like_the_pixels_on_the_border(columns, monkeypatch):
    images, affine = torch.rand(50, 3, 28, columns), torch.randn(50, 2, 3)
    grid = F.affine_grid(affine, [50, 3, 28, 28], align_corners=False)
    expected = F.grid_sample(images, grid, padding_mode="border", align_corners=False)
    sample, paddings = F.grid_sample, []
    monkeypatch.setattr(F, "grid_sample", lambda *given, **named: paddings.append(named) or sample(*given, **named))
    torch.testing.assert_close(warp(images, affine, outside="border"), expected, atol=1e-5, rtol=0)
    assert [named["padding_mode"] for named in paddings] == ["zeros"]  # all that Apple's GPUs know


def test_every_image_gets_its_own_warp():
    image = random_images(1).expand(6, 1, 28, 28)
    warped = warp(image, random_affine(numbers(6)))
    assert len(warped.flatten(1).unique(dim=0)) == 6


def test_warp_matches_affine_grid():
    images = torch.rand(3, 1, 28, 28)
    affine = random_affine(numbers(3, seed=1))
    grid = torch.nn.functional.affine_grid(affine, [3, 1, 28, 28], align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(warp(images, affine), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16, torch.float16])
def test_images_of_any_type_are_warped_by_the_same_places(dtype):
    torch.manual_seed(0)
    images = torch.rand(3, 1, 28, 28).to(dtype)
    affine = random_affine(torch.rand(3, 6))
    warped = warp(images, affine)
    assert warped.dtype == dtype
    torch.testing.assert_close(warped, warp(images.float(), affine).to(dtype), atol=1e-5, rtol=1e-2)
