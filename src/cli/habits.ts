/** What people who come from other tools try, and what it is called here. */

/** By command ("" is bitfleet itself): words that are no command. */
export const habitualCommands: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  "": [
    ["run train launch create", '"bitfleet submit" queues a job'],
    ["start serve", '"bitfleet up" starts a fleet, and "bitfleet submit" queues a job'],
    ["ps ls list job queue", '"bitfleet jobs" lists the jobs'],
    [
      "rm delete del purge",
      '"bitfleet remove JOB" removes a job, "bitfleet data remove NAME" a data set',
    ],
    [
      "stop kill abort down",
      '"bitfleet cancel JOB" stops a job, "bitfleet drain WORKER" a worker, and Ctrl-C what "bitfleet up" has started',
    ],
    ["pause", '"bitfleet cancel JOB" stops a job, and "bitfleet resume JOB" goes on with it'],
    ["continue restart retry", '"bitfleet resume JOB" goes on with a job'],
    ["version", '"bitfleet --version" tells it'],
    [
      "show describe get info inspect watch",
      '"bitfleet status JOB" shows a job, --watch follows it',
    ],
    ["log tail", '"bitfleet logs JOB" prints a log, -f follows it'],
    ["nodes node gpus top", '"bitfleet workers" lists the workers'],
    ["eval test score validate", '"bitfleet evaluate JOB" evaluates a job'],
    ["infer classify", '"bitfleet predict JOB FILE" classifies pictures'],
    ["download save", '"bitfleet export JOB --out FILE" writes the weights'],
    [
      "push upload datasets dataset",
      '"bitfleet data push FOLDER NAME" sends pictures, "bitfleet data list" lists them',
    ],
    ["login auth tokens", '"bitfleet token add NAME --role ROLE" makes a token'],
    ["check", '"bitfleet doctor" looks at this machine'],
  ],
  data: [
    ["ls show", '"bitfleet data list" lists the data sets'],
    ["rm delete del", '"bitfleet data remove NAME" removes a data set'],
    ["upload send add create", '"bitfleet data push FOLDER NAME" sends pictures'],
  ],
  token: [
    ["ls show", '"bitfleet token list" lists them'],
    ["rm delete del remove", '"bitfleet token revoke NAME" takes a token away'],
    ["create new make", '"bitfleet token add NAME --role ROLE" makes a token'],
  ],
};

/** By command: flags without their hyphens. */
export const habitualFlags: Readonly<Record<string, readonly (readonly [string, string])[]>> = {
  submit: [
    [
      "epochs epoch num-epochs e",
      "a job's length is --steps N: epochs x pictures / batch, with a batch of 512 unless --batch says otherwise; without --steps the recipe chooses",
    ],
    ["lr learning-rate base-lr", "the learning rate is --rate N"],
    ["batch-size bs b", "the batch is --batch N"],
    [
      "workers gpus nodes num-workers",
      'a job takes the workers that are there: --min-workers N waits for so many, and "bitfleet scale N" sets how many run',
    ],
    ["val val-dir val-data test", "other pictures to evaluate on are --validation FOLDER"],
    [
      "pretrained checkpoint init resume from",
      "where to start is --weights FILE, or --weights job:NAME",
    ],
    ["dataset data-dir path input", "the pictures are --data FOLDER, or --data store:NAME"],
    ["image-size img-size size resolution", "the side of what the model sees is --crop N"],
    ["arch architecture network", "the model is --model MODEL"],
    ["warmup", "the warm-up is --warmup-steps N"],
    ["wd decay", "the weight decay is --weight-decay N"],
    ["follow wait f", "--watch follows the job to its end"],
    ["dry preview", "--dry-run stops after showing what would happen"],
  ],
  export: [["output o file", "the file is --out FILE"]],
  status: [["follow f wait w", "--watch follows the job"]],
  logs: [["watch tail", "-f follows the log"]],
  predict: [["topk top-k k n", "how many classes to show is --top N"]],
};

/** What is said of the word; undefined: it is nobody's habit. */
export function habit(
  habits: readonly (readonly [string, string])[] = [],
  word: string,
): string | undefined {
  return habits.find(([words]) => words.split(" ").includes(word))?.[1];
}
