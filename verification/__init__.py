"""What puts the relay to the test at length: benchmarks, fuzzing, reliability, simulation."""
