"""From uint8 pixels to what the vision network takes."""

# B images, H and W pixels, C = 3 channels
import torch

# ImageNet's statistics, with which the model was trained.
PIXEL_MEAN = (0.485, 0.456, 0.406)
PIXEL_STD = (0.229, 0.224, 0.225)


def normalize(pixels_BHWC: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Normalised pixels (B, C, H, W), computed in float32 on the device that holds the uint8 ones."""
    mean, std = (torch.tensor(v, dtype=torch.float32, device=pixels_BHWC.device) for v in (PIXEL_MEAN, PIXEL_STD))
    return ((pixels_BHWC.float() / 255 - mean) / std).permute(0, 3, 1, 2).to(dtype)
