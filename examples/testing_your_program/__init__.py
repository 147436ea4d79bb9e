"""How to test a program that uses neuralbox: the program is `trailers.py`, its tests are `test_trailers.py`."""
