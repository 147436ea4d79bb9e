"""How to test a program that uses neuralbox: the program is `studio.py`, its tests are `test_studio.py`."""
