import { recipeNames } from "../bit/recipe.js";

/**
 * A job's settings, each once: the types of a request and of the record, flags, help, refusals and
 * forms all come from this table. The fields of `JobSettings` in proto/ have the same names.
 */

/** How a value is read and what it may be. */
export type Setting = {
  /** One sentence for people, without its full stop. */
  readonly about: string;
} & (
  | {
      readonly kind: "text";
      /** A text that is not given is empty. */
      readonly default: "" | typeof required;
      /** What stands for the value in help. */
      readonly placeholder: string;
    }
  | { readonly kind: "choice"; readonly choices: readonly string[]; readonly default: string }
  | { readonly kind: "switch"; readonly default: false }
  | {
      readonly kind: "whole" | "number";
      readonly min: number;
      readonly max: number;
      readonly default: number | typeof byRecipe;
    }
  /** Increasing numbers between 0 and 1, both excluded. */
  | { readonly kind: "fractions"; readonly lengthMax: number; readonly default: typeof byRecipe }
);

/** Worked out from recipe, data and other settings by `planJob`. */
export const byRecipe = "by the recipe";
const required = "required";

const stepsMax = 10_000_000;
const sideMax = 2048;

export const settings = {
  name: {
    kind: "text",
    default: required,
    placeholder: "NAME",
    about: "The job's name, a DNS label; free again once the job of that name is removed",
  },
  model: {
    kind: "text",
    default: required,
    placeholder: "MODEL",
    about: "R50x1, R50x3, R101x1, R101x3, R152x2, R152x4, or unit counts and width: 1-1-1-1x0.5",
  },
  data: {
    kind: "text",
    default: required,
    placeholder: "FOLDER",
    about: "Folder with one folder of pictures per class, as the workers see it, or store:NAME",
  },
  validation: {
    kind: "text",
    default: "",
    placeholder: "FOLDER",
    about: "As data, to evaluate on; without it a part of the data is set aside",
  },
  validationFraction: {
    kind: "number",
    min: 0,
    max: 0.9,
    default: 0.1,
    about: "Part of every class that is set aside where no validation folder is given",
  },
  recipe: {
    kind: "choice",
    choices: recipeNames,
    default: "hyperrule",
    about: "Rules for what is not given: hyperrule for transfer, upstream for pretraining",
  },
  weights: {
    kind: "text",
    default: "",
    placeholder: "FILE",
    about: "Where to start: an npz as the workers see it, or job:NAME for a finished job's weights",
  },
  seed: {
    kind: "whole",
    min: 0,
    max: 2 ** 32 - 1,
    default: 0,
    about: "Decides initial weights, order of examples, crops, flips and MixUp",
  },
  steps: {
    kind: "whole",
    min: 0,
    max: stepsMax,
    default: byRecipe,
    about: "Number of updates; the schedule keeps its proportions, and 0 only evaluates",
  },
  batch: { kind: "whole", min: 1, max: 65_536, default: 512, about: "Examples per update" },
  shards: {
    kind: "whole",
    min: 1,
    max: 4096,
    default: 32,
    about: "Equal slices of a batch, the unit that workers are dealt; a divisor of the batch",
  },
  microBatch: {
    kind: "whole",
    min: 1,
    max: 1024,
    default: byRecipe,
    about: "Examples that a device computes at once; a divisor of a shard, by default at most 16",
  },
  rate: { kind: "number", min: 0, max: 100, default: byRecipe, about: "Peak learning rate" },
  warmupSteps: {
    kind: "whole",
    min: 0,
    max: stepsMax,
    default: byRecipe,
    about: "Steps over which the rate grows from 0 to its peak",
  },
  drops: {
    kind: "fractions",
    lengthMax: 16,
    default: byRecipe,
    about: "Parts of the steps after each of which the rate is divided by 10, such as 0.3,0.6,0.9",
  },
  momentum: { kind: "number", min: 0, max: 0.9999, default: 0.9, about: "Momentum of SGD" },
  weightDecay: {
    kind: "number",
    min: 0,
    max: 1,
    default: byRecipe,
    about: "Factor of the weights that is added to the gradient",
  },
  resize: {
    kind: "whole",
    min: 8,
    max: sideMax,
    default: byRecipe,
    about: "Side in pixels that pictures are squashed to before a random crop",
  },
  crop: {
    kind: "whole",
    min: 8,
    max: sideMax,
    default: byRecipe,
    about: "Side in pixels of what the model sees",
  },
  noCrop: {
    kind: "switch",
    default: false,
    about: "Squashes pictures to the size of the crop, where a cut would destroy the label",
  },
  noFlip: {
    kind: "switch",
    default: false,
    about: "Never mirrors a picture, where that would destroy the label",
  },
  mixup: {
    kind: "number",
    min: 0,
    max: 1,
    default: byRecipe,
    about: "Alpha of the Beta distribution that pictures are mixed by; 0 is off",
  },
  examplesPerClass: {
    kind: "whole",
    min: 0,
    max: 10_000_000,
    default: 0,
    about: "Trains on this many examples of every class, drawn by the seed; 0 is all",
  },
  evalEvery: {
    kind: "whole",
    min: 0,
    max: stepsMax,
    default: 0,
    about: "Evaluates after every so many steps; 0 is at the end only",
  },
  checkpointEvery: {
    kind: "whole",
    min: 1,
    max: stepsMax,
    default: byRecipe,
    about: "Saves a checkpoint after every so many steps, by default a tenth of them, at most 100",
  },
  keepCheckpoints: {
    kind: "whole",
    min: 1,
    max: 1000,
    default: 3,
    about: "How many checkpoints are kept",
  },
  minWorkers: {
    kind: "whole",
    min: 1,
    max: 4096,
    default: 1,
    about: "Workers that must be there before the job starts or goes on",
  },
  priority: {
    kind: "whole",
    min: -1000,
    max: 1000,
    default: 0,
    about: "Jobs of higher priority start first, and get the workers that nobody lacks",
  },
  audit: {
    kind: "whole",
    min: 0,
    max: 1_000_000,
    default: 256,
    about: "One shard in so many is computed by a second worker as well and compared; 0 is never",
  },
  threads: {
    kind: "whole",
    min: 1,
    max: 1024,
    default: 1,
    about: "Threads of one TensorFlow operation; another number gives other bits",
  },
  mixedDevices: {
    kind: "switch",
    default: false,
    about:
      "Lets workers of other arithmetic take part, which gives up that runs repeat bit for bit",
  },
} as const satisfies Readonly<Record<string, Setting>>;

export type SettingName = keyof typeof settings;
type RequiredName = "name" | "model" | "data";

type Value<S extends Setting> = S extends { readonly choices: readonly (infer Choice)[] }
  ? Choice
  : S extends { readonly kind: "text" }
    ? string
    : S extends { readonly kind: "switch" }
      ? boolean
      : S extends { readonly kind: "fractions" }
        ? readonly number[]
        : number;

/** Every setting decided. Empty texts are "none"; `drops` are fractions of `steps`. */
export type JobSettings = { readonly [Name in SettingName]: Value<(typeof settings)[Name]> };

/** What the user gave; the rest is decided by `planJob`. */
export type JobRequest = Pick<JobSettings, RequiredName> & Partial<Omit<JobSettings, RequiredName>>;

// The cast: Object.keys forgets the key type, and the table is a constant.
export const settingNames = Object.keys(settings) as readonly SettingName[];

/** The table's row, without what is particular to this setting. */
export function settingOf(name: SettingName): Setting {
  return settings[name];
}

export function isRequired(name: SettingName): name is RequiredName {
  return settingOf(name).default === required;
}

/** The setting in words for people, as in its flag: `examples-per-class`. */
export function kebab(name: SettingName): string {
  return name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
}

/** The flag as a command line has it: `--examples-per-class`. */
export function flag(name: SettingName): string {
  return `--${kebab(name)}`;
}

/** The field of `JobSettings` in proto/: `examples_per_class`. */
export function protoField(name: SettingName): string {
  return kebab(name).replaceAll("-", "_");
}

/** What stands for the value in help; undefined for a switch. */
export function placeholder(name: SettingName): string | undefined {
  const setting = settingOf(name);
  switch (setting.kind) {
    case "text":
      return setting.placeholder;
    case "choice":
      return setting.choices.join("|");
    case "fractions":
      return "F,F,...";
    case "whole":
    case "number":
      return "N";
    case "switch":
      return undefined;
  }
}

/** One line of help: what the setting is, and its default. */
export function helpText(name: SettingName): string {
  const setting = settingOf(name);
  if (setting.default === "" || setting.default === false) return setting.about;
  if (setting.default === required) return `${setting.about} (required)`;
  return `${setting.about} (default: ${setting.default})`;
}
