"""Field of view of MR volumes: which anatomical regions a volume shows and where each begins (Bertrand 2019, section 2.6)."""
