import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { anyPort } from "../../src/process/port.js";
import { FleetProcesses, until } from "../support/fleetProcesses.js";
import { writePictures } from "../support/pictures.js";
import { samplesIn, valueOf, type Sample } from "../support/scrape.js";
