"""The AWS side of the tests, at moto's server: firehose.py URL create NAME, firehose.py URL read NAME.

`read` writes all objects that the delivery stream made, decompressed, one after the other."""
import gzip
import sys

import boto3

url, what, name = sys.argv[1:]
access = dict(
    endpoint_url=url, region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x"
)
s3 = boto3.client("s3", **access)
if what == "create":
    s3.create_bucket(Bucket=name)
    destination = {
        "RoleARN": "arn:aws:iam::123456789012:role/firehose",
        "BucketARN": f"arn:aws:s3:::{name}",
    }
    boto3.client("firehose", **access).create_delivery_stream(
        DeliveryStreamName=name,
        DeliveryStreamType="DirectPut",
        ExtendedS3DestinationConfiguration=destination,
    )
else:
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=name):
        for entry in page.get("Contents", []):
            body = s3.get_object(Bucket=name, Key=entry["Key"])["Body"].read()
            # Records are gzip members back to back, or plain.
            sys.stdout.buffer.write(gzip.decompress(body) if body[:2] == b"\x1f\x8b" else body)
