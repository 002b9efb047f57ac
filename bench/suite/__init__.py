"""What bench/run and the sections (bench/sections/*.py) are made of."""
