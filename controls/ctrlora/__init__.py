"""CtrLoRA (Xu et al., ICLR 2025): one control network, a small file for each kind of condition.

Needs torch and diffusers; import the modules by name.
"""
