import { classesMax, classNameMax, classNamesBytesMax } from "./limits.js";
import { ConfigError } from "./problem.js";

/** Throws a ConfigError for classes that no record of a job could keep. */
export function checkClasses(classes: readonly string[]): void {
  const refuse = (what: string): never => {
    throw new ConfigError(`the data have ${what}`);
  };
  if (classes.length > classesMax)
    refuse(`${classes.length} classes, and a job can have ${classesMax} at most`);
  const long = classes.find((name) => name.length > classNameMax);
  if (long !== undefined)
    refuse(
      `a class ${JSON.stringify(long.slice(0, 40))}… with a name of ${long.length} characters, and ${classNameMax} are the most`,
    );
  const bytes = new TextEncoder().encode(JSON.stringify(classes)).length;
  if (bytes > classNamesBytesMax)
    refuse(
      `${classes.length} classes whose names take ${bytes} bytes together, and a job can keep ${classNamesBytesMax} at most: shorten the names of their folders`,
    );
}
