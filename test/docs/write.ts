/** `npm run docs`: writes the pages that are made from the code's own tables. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { packageRoot } from "../../src/process/toolchain.js";
import { settingsPage } from "./settingsPage.js";

writeFileSync(join(packageRoot(), "docs", "settings.md"), await settingsPage());
