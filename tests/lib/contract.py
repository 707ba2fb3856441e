"""The contract, as any stranger gets it: proto/ compiled by protoc into a folder of this run."""

import functools
import pathlib
import subprocess
import sys
import tempfile

from google.protobuf import descriptor_pool, json_format, message_factory

PROTO = pathlib.Path(__file__).resolve().parents[2] / "proto"


@functools.cache
def load():
    """Compile once for each run of the tests, and let the modules register their messages."""
    folder = tempfile.TemporaryDirectory(prefix="tildel-contract-")
    files = sorted(path.name for path in PROTO.glob("*.proto"))
    subprocess.run(["protoc", f"--proto_path={PROTO}", f"--python_out={folder.name}", *files], check=True)
    sys.path.insert(0, folder.name)
    for name in files:
        __import__(name.replace(".proto", "_pb2"))
    return folder  # it lives as long as the cache, that is: as long as the program


def message(full_name):
    """The class of a message by its full name, "intake.v1.SaveDraft"."""
    load()
    descriptor = descriptor_pool.Default().FindMessageTypeByName(full_name)
    make = getattr(message_factory, "GetMessageClass", None)
    return make(descriptor) if make else message_factory.MessageFactory().GetPrototype(descriptor)


def encode(full_name, body):
    """The canonical bytes of a message written as a dict with the contract's field names."""
    return json_format.ParseDict(body, message(full_name)()).SerializeToString(deterministic=True)


def decode(full_name, data):
    return message(full_name).FromString(data)


def as_dict(decoded):
    """Every field by its name in the contract; 64-bit numbers are text, as in ProtoJSON."""
    return json_format.MessageToDict(decoded, preserving_proto_field_name=True,
                                     including_default_value_fields=True)
