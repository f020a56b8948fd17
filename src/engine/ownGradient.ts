import type { Tensor, TensorFlow } from "./tensorflow.js";

type Named = Readonly<Record<string, Tensor>>;

/** What a block computes: its value, what the gradient will need, and the gradient itself. */
export interface Differentiable<Value extends Tensor, Saved extends Named> {
  readonly value: Value;
  readonly saved: Saved;
  /** The gradients of the inputs, in their order. */
  readonly gradient: (dy: Value, saved: Saved) => Tensor[];
}

/**
 * A block of tfjs operations with its gradient written by hand. tfjs passes what is saved as a
 * list; here it keeps its names.
 */
export function ownGradient<Value extends Tensor, Saved extends Named>(
  tf: TensorFlow,
  inputs: readonly Tensor[],
  forward: () => Differentiable<Value, Saved>,
): Value {
  const block = tf.customGrad<Value>((...values) => {
    const { value, saved, gradient } = forward();
    const keep = values.at(-1);
    if (typeof keep === "function") keep(Object.values(saved));
    const names = Object.keys(saved);
    const gradFunc = (dy: Value, kept: Tensor[]): Tensor[] => {
      const entries = names.map((name, index) => [name, kept[index]]);
      // The same tensors under the same names: only their handles are new.
      return gradient(dy, Object.fromEntries(entries) as Saved);
    };
    return { value, gradFunc };
  });
  return block(...inputs);
}
