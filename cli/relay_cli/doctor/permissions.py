"""The calls to AWS that the checks make, and the permission that each of them needs. Pure.

IAM's names are in https://docs.aws.amazon.com/service-authorization/latest/reference/reference_policies_actions-resources-contextkeys.html.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from botocore.exceptions import ClientError

READS = {
    "GetCallerIdentity": "sts:GetCallerIdentity",
    "DescribeStacks": "cloudformation:DescribeStacks",
    "ListStackResources": "cloudformation:ListStackResources",
    "GetAccountSettings": "lambda:GetAccountSettings",
    "GetFunctionConfiguration": "lambda:GetFunctionConfiguration",
    "GetFunctionConcurrency": "lambda:GetFunctionConcurrency",
    "GetEventSourceMapping": "lambda:GetEventSourceMapping",
    "GetSchedule": "scheduler:GetSchedule",
    "GetQueueAttributes": "sqs:GetQueueAttributes",
    "ListSubscriptionsByTopic": "sns:ListSubscriptionsByTopic",
    "DescribeAlarms": "cloudwatch:DescribeAlarms",
    "GetMetricStatistics": "cloudwatch:GetMetricStatistics",
    "FilterLogEvents": "logs:FilterLogEvents",
    "DescribeParameters": "ssm:DescribeParameters",
    "GetParameter": "ssm:GetParameter",
    "BatchGetItem": "dynamodb:BatchGetItem",
    "ListObjectsV2": "s3:ListBucket",
}
"""Every call that ``relay doctor`` makes. All of them read; a test compares this with the calls that are made."""

_NAMED = re.compile(r"not authorized to perform: ([a-z0-9-]+:[A-Za-z0-9]+)")


def missing(error: ClientError) -> str:
    """Return the permission that AWS misses: as its message names it, which may be one for a key, else by the call."""
    named = _NAMED.search(error.response["Error"].get("Message", ""))
    return named[1] if named else READS.get(error.operation_name, error.operation_name)
