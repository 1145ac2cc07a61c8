"""AWS's prices in us-east-1, in USD."""

LAMBDA_GB_SECOND = {"arm64": 0.0000133334, "x86_64": 0.0000166667}
"""For a GB of memory and a second: https://aws.amazon.com/lambda/pricing/."""
