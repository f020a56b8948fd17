import { execFile } from "node:child_process";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { numerics } from "../../src/process/numerics.js";
import { packageRoot } from "../../src/process/toolchain.js";
import { childEnvironment } from "../../worker/childEnvironment.js";

const versions = { tensorflow: "2.21.0", gpu: false };
const hostile = {
  TF_ENABLE_ONEDNN_OPTS: "0",
  TF_DETERMINISTIC_OPS: "0",
  TF_CUDNN_DETERMINISTIC: "0",
  TF_CUDNN_USE_AUTOTUNE: "1",
  NVIDIA_TF32_OVERRIDE: "1",
  ONEDNN_DEFAULT_FPMATH_MODE: "BF16",
  TF_SET_ONEDNN_FPMATH_MODE: "BF16",
  TF_NUM_INTEROP_THREADS: "2",
  TF_FORCE_GPU_ALLOW_GROWTH: "false",
  OMP_NUM_THREADS: "1",
};

test("what the machine's environment says of TensorFlow's numbers is overruled", () => {
  const decided = childEnvironment(hostile, { threads: 2 });
  expect(decided).toEqual({ ...childEnvironment({}, { threads: 2 }), OMP_NUM_THREADS: "1" });
  expect(decided).toMatchObject({ TF_ENABLE_ONEDNN_OPTS: "1", TF_DETERMINISTIC_OPS: "1" });
  expect(decided).toMatchObject({ NVIDIA_TF32_OVERRIDE: "0", TF_NUM_INTRAOP_THREADS: "2" });
  expect(numerics(hostile, versions).text).toBe(numerics({}, versions).text);
});

test("what an operator may set, and may change bits, is in the numerics class", () => {
  const plain = numerics({}, versions).text;
  expect(plain).toContain(", TensorFlow 2.21.0, oneDNN, threads as the job says, ");
  const chosen = {
    TF_NUM_INTRAOP_THREADS: "3",
    ONEDNN_MAX_CPU_ISA: "AVX2",
    DNNL_MAX_CPU_ISA: "SSE41",
    TF_XLA_FLAGS: "--tf_xla_auto_jit=2",
    TF_ONEDNN_ASSUME_FROZEN_WEIGHTS: "1",
    CUBLAS_WORKSPACE_CONFIG: ":16:8",
  };
  for (const [name, value] of Object.entries(chosen)) {
    expect(numerics({ [name]: value }, versions).text, name).not.toBe(plain);
    expect(childEnvironment({ [name]: value }, { threads: 2 })[name]).toBe(value);
  }
  const same = { ONEDNN_VERBOSE: "1", TF_CPP_MIN_LOG_LEVEL: "0", HOME: "/", TF_MKL_PORT: "1" };
  expect(numerics({ ...same, CUDNN_SERVICE_HOST: "10.0.0.1" }, versions).text).toBe(plain);
  const [one, two] = ["a", "b"].map((end) => {
    return numerics({ XLA_FLAGS: `--x=${"y".repeat(5_000)}${end}` }, versions).text;
  });
  expect(one).not.toBe(two);
  expect(one?.length).toBeLessThan(1024);
});

test("a shard's bits depend on nothing but the class: not on what ran before, nor on the machine's environment", async () => {
  const program = join(packageRoot(), "dist", "test", "support", "shardDigest.js");
  const digest = async (mode: string, variables: NodeJS.ProcessEnv): Promise<string> => {
    const env = childEnvironment({ ...process.env, ...variables }, { threads: 2 });
    const { stdout } = await promisify(execFile)(process.execPath, [program, mode], { env });
    return stdout.trim();
  };
  const alone = await digest("alone", { TF_NUM_INTRAOP_THREADS: "2" });
  expect(alone).toMatch(/^[0-9a-f]{64}$/);
  expect(await digest("busy", { ...hostile, TF_NUM_INTRAOP_THREADS: "2" })).toBe(alone);
}, 240_000);
