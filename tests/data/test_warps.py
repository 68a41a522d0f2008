from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from seqsum.data.warps import random_affine, random_elastic, uniform, warp

STILL = {"rotation": 0.0, "scale": 0.0, "shear": 0.0, "shift": 0.0}
COUNT = 2_000


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def random_images(count: int = 5, size: int = 28) -> Tensor:
    return torch.rand(count, 1, size, size, generator=generator(9))


def parameters(**limits: float) -> dict[str, Tensor]:
    """Maps taken apart into rotation · [[stretch_x, slant], [0, stretch_y]] and a shift in pixels."""
    maps = random_affine(COUNT, generator(), **limits).double()
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
    affine = random_affine(3, generator(), **STILL)
    assert affine.tolist() == [[[1, 0, 0], [0, 1, 0]]] * 3


def test_the_identity_leaves_images_unchanged():
    images = random_images()
    torch.testing.assert_close(warp(images, random_affine(len(images), generator(), **STILL)), images)


@pytest.mark.parametrize(("axis", "dim"), [(0, -1), (1, -2)])
@pytest.mark.parametrize("pixels", [1, -1, 3])
def test_a_shift_by_whole_pixels_equals_roll_with_black_from_outside(pixels, axis, dim):
    images = random_images()
    affine = random_affine(len(images), generator(), **STILL)
    affine[:, axis, 2] = pixels * 2 / 28
    rolled = images.roll(-pixels, dims=dim)
    outside = range(28 - pixels, 28) if pixels > 0 else range(-pixels)
    expected = rolled.index_fill(dim, torch.tensor(outside), 0.0)
    torch.testing.assert_close(warp(images, affine), expected, atol=1e-5, rtol=0)


def test_a_constant_displacement_equals_a_shift():
    images = random_images()
    still = random_affine(len(images), generator(), **STILL)
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
    affine = random_affine(len(images), generator(), **STILL)
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


def test_uniform_fills_its_range_evenly():
    numbers = uniform((COUNT, 3), 2.5, generator())
    assert numbers.shape == (COUNT, 3)
    assert -2.5 <= numbers.min() < -2.45
    assert 2.45 < numbers.max() <= 2.5
    assert numbers.abs().mean() == pytest.approx(1.25, abs=0.05)


def test_elastic_displacements_stay_within_their_strength():
    pixels = random_elastic(500, generator(), strength=1.5) * 28 / 2
    assert pixels.shape == (500, 28, 28, 2)
    assert 1.4 < pixels.abs().max() <= 1.5 + 1e-5


def test_elastic_displacements_never_fold_the_image():
    pixels = random_elastic(500, generator(), strength=1.5) * 28 / 2
    assert pixels[..., 0].diff(dim=2).min() > -1  # neighbours in a row keep their order
    assert pixels[..., 1].diff(dim=1).min() > -1  # and in a column


@pytest.mark.parametrize(
    "draw", [lambda source: random_affine(6, source), lambda source: random_elastic(6, source, strength=1.5)]
)
def test_warps_follow_the_seed(draw):
    assert torch.equal(draw(generator(3)), draw(generator(3)))
    assert not torch.equal(draw(generator(3)), draw(generator(4)))


def test_every_image_gets_its_own_warp():
    image = random_images(1).expand(6, 1, 28, 28)
    warped = warp(image, random_affine(6, generator()))
    assert len(warped.flatten(1).unique(dim=0)) == 6


def test_warp_matches_affine_grid():
    images = torch.rand(3, 1, 28, 28)
    affine = random_affine(3, torch.Generator().manual_seed(1))
    grid = torch.nn.functional.affine_grid(affine, [3, 1, 28, 28], align_corners=False)
    expected = torch.nn.functional.grid_sample(images, grid, align_corners=False)
    torch.testing.assert_close(warp(images, affine), expected, atol=1e-5, rtol=0)
