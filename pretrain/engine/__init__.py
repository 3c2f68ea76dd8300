"""How a run is built, launched, saved and resumed, on mmengine's Runner."""
