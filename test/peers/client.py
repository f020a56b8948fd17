"""client.py HOST:PORT FOLDER [TOKEN]: a client that knows Bitfleet from proto/ alone.

FOLDER has a folder of pictures per class, as the workers see it. Makes Python code from the proto
files, submits a small job, watches it to its end, reads its log twice (whole, and from the middle
on), and sees that what is wrong is refused. Needs grpcio and grpcio-tools. Prints a line per check;
exit code 1 when one does not hold.
"""

import importlib
import json
import pathlib
import sys
import tempfile
import uuid

import grpc
from grpc_tools import protoc

proto = pathlib.Path(__file__).resolve().parents[2] / "proto"
if not proto.is_dir():  # Run from dist/test/peers.
    proto = pathlib.Path(__file__).resolve().parents[3] / "proto"
deadline_s = 120
failed = 0


def check(holds, what):
    global failed
    failed += not holds
    print(f"{'ok    ' if holds else 'FAILED'} {what}", flush=True)


def generated(folder):
    """The modules with the messages and the stub, made from training.proto."""
    arguments = ["protoc", f"-I{proto}", f"--python_out={folder}", f"--grpc_python_out={folder}"]
    if protoc.main([*arguments, "bitfleet/v1/training.proto"]) != 0:
        sys.exit("protoc does not take training.proto")
    sys.path.insert(0, folder)
    name = "bitfleet.v1.training_pb2"
    return importlib.import_module(name), importlib.import_module(f"{name}_grpc")


def refusal(call):
    """The status and the sentence that a call ends with."""
    try:
        call()
    except grpc.RpcError as error:
        return error.code(), error.details()
    return grpc.StatusCode.OK, ""


def main(address, folder, token=""):
    with tempfile.TemporaryDirectory() as made:
        messages, services = generated(made)
    metadata = [("authorization", f"Bearer {token}")] if token else []
    options = {"metadata": metadata, "timeout": deadline_s}
    with grpc.insecure_channel(address) as channel:
        training = services.TrainingStub(channel)
        name = f"from-python-{uuid.uuid4().hex[:8]}"
        settings = messages.JobSettings(
            name=name,
            model="1-1-1-1x0.5",
            data=folder,
            validation_fraction=0.5,
            batch=16,
            shards=4,
            steps=6,
            crop=32,
            resize=32,
            no_flip=True,
        )
        request = messages.SubmitRequest(settings=settings, request_id=uuid.uuid4().hex)

        updates = list(training.Preview(request, **options))
        preview = updates[-1].preview
        check(len(preview.classes) >= 2 and preview.settings.steps == 6, f"preview: {preview.lines[0]}")

        first = training.Submit(request, **options)
        again = training.Submit(request, **options)
        check(first.name == again.name == name, "the same submit twice is one job")

        other = messages.SubmitRequest(settings=settings, request_id=uuid.uuid4().hex)
        code, details = refusal(lambda: training.Submit(other, **options))
        check(code == grpc.StatusCode.INVALID_ARGUMENT and name in details, f"refused: {details}")
        settings_of_nobody = messages.JobSettings(name="x", model="R51x1", data=folder)
        wrong = messages.SubmitRequest(settings=settings_of_nobody, request_id="x")
        code, details = refusal(lambda: training.Submit(wrong, **options))
        check(code == grpc.StatusCode.INVALID_ARGUMENT and "R51x1" in details, f"refused: {details}")
        code, details = refusal(lambda: training.GetJob(messages.JobName(name="nobody"), **options))
        check(code == grpc.StatusCode.NOT_FOUND, f"refused: {details}")

        steps = []
        for status in training.WatchJob(messages.JobName(name=name), **options):
            steps.append(status.step)
        check(status.state == "done" and steps == sorted(steps), f"watched it to {status.state} {status.reason}")
        check(status.step == 6 and len(status.parameter_digest) == 64, f"step {status.step}, {status.parameter_digest}")
        check(len(status.evaluations) == 1 and status.evaluations[0].total > 0, "evaluated at the end")

        def lines(after, follow):
            query = messages.LogsRequest(name=name, after_sequence=after, follow=follow)
            return list(training.ReadLogs(query, **options))

        log = lines(0, True)
        numbers = [line.sequence for line in log]
        check(numbers == list(range(numbers[0], numbers[0] + len(numbers))), f"{len(log)} log lines, none missing")
        trained = [json.loads(line.fields_json).get("step") for line in log if line.message.startswith("step ")]
        check(trained == [1, 2, 3, 4, 5, 6], "one log line for every step")
        middle = numbers[len(numbers) // 2]
        check(lines(middle, False) == log[len(numbers) // 2 + 1 :], "the log again, from the middle on")

        jobs = [job.name for job in training.ListJobs(messages.ListJobsRequest(), **options).jobs]
        check(name in jobs, f"{len(jobs)} jobs listed")
        workers = training.ListWorkers(messages.ListWorkersRequest(), **options).workers
        check(len(workers) > 0, f"{len(workers)} workers listed")
        chunks = list(training.ExportWeights(messages.JobName(name=name), **options))
        size = sum(len(chunk.data) for chunk in chunks)
        check(size == chunks[0].total_bytes > 0, f"exported {size} bytes")
    return 1 if failed else 0


if __name__ == "__main__":
    if len(sys.argv) not in (3, 4):
        sys.exit(__doc__)
    sys.exit(main(*sys.argv[1:]))
