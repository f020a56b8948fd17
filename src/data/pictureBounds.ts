/** No picture may be larger, wherever it comes from: it is refused before it is read. */
export const fileBytesMax = 64 * 2 ** 20;
/** Beyond what cameras make. */
export const pixelsMaxDefault = 150_000_000;

const pictureName = /\.(jpe?g|png|webp|gif)$/i;

/** Whether a file is taken for a picture, by its name alone. */
export function isPictureName(name: string): boolean {
  return pictureName.test(name);
}
