"""Who is on the picture, for diffusion: published adapters that carry a face's identity into a UNet."""
