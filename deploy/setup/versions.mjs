// What the set-up installs beside the npm packages. Every machine of a fleet must hold the same
// builds, since another one may round differently: nothing here is "the newest".

export const tensorflowVersion = "2.21.0";
export const natsServerVersion = "2.15.1";

/** A `nats-server` on the PATH is used from here on: older ones lack limits that we set. */
export const oldestNatsServer = "2.11";

export const oldestNode = "20.15";

/** The wheels differ per Python, the libraries in them do not; so any one will do, on every machine. */
export const wheelPython = "3.12";

/**
 * The CUDA 12 packages that TensorFlow's GPU wheel asks for, within the ranges that it states. One
 * that is not named here comes as the wheel states it.
 */
export const cudaVersions = {
  "nvidia-cublas-cu12": "12.9.3.13",
  "nvidia-cuda-cupti-cu12": "12.9.79",
  "nvidia-cuda-nvcc-cu12": "12.9.86",
  "nvidia-cuda-nvrtc-cu12": "12.9.86",
  "nvidia-cuda-runtime-cu12": "12.9.79",
  "nvidia-cudnn-cu12": "9.28.0.42",
  "nvidia-cufft-cu12": "11.4.1.4",
  "nvidia-curand-cu12": "10.3.10.19",
  "nvidia-cusolver-cu12": "11.7.5.82",
  "nvidia-cusparse-cu12": "12.5.10.65",
  "nvidia-nccl-cu12": "2.32.3",
  "nvidia-nvjitlink-cu12": "12.9.86",
};
