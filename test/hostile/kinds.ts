import { callKind } from "./callKind.js";
import { framesKind } from "./framesKind.js";
import { httpKind } from "./httpKind.js";
import { dataPageKind, dataSetKind } from "./dataKinds.js";
import type { Kind } from "./kind.js";
import { environmentKind, nameKind, requestKind, tokenKind } from "./nameKinds.js";
import { pictureKind } from "./pictureKinds.js";
import { indexKind, lineKind, manifestKind, recordKind, summaryKind } from "./recordKinds.js";
import { checkpointKind, npyKind, npzKind, safetensorsKind } from "./weightsKinds.js";
import { saidKind, saidToCoordinatorKind } from "./saidKinds.js";
import { commandKind, eventKind, fieldsKind, frameKind, trainingKind } from "./wireKinds.js";

/** Everything that a stranger's bytes can reach. */
export const kinds: readonly Kind[] = [
  ...[frameKind, eventKind, commandKind, trainingKind, fieldsKind],
  ...[recordKind, manifestKind, indexKind, summaryKind, lineKind],
  ...[dataPageKind, dataSetKind],
  ...[npzKind, npyKind, safetensorsKind, checkpointKind, pictureKind],
  ...[nameKind, requestKind, environmentKind, tokenKind],
  ...[saidKind, saidToCoordinatorKind],
  ...[httpKind, framesKind, callKind],
];
