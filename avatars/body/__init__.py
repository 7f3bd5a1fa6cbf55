"""SMPL-X (Pavlakos et al. 2019): the body that carries a head, its face moved as FLAME's."""
