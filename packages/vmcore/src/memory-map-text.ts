import { VmcoreError } from './error.ts';
import { type IomemMap, parseIomem } from './iomem.ts';

/**
 * The memory map in a text: that of /proc/iomem, or JSON whose `iomem` is an array of its lines, as stands beside a
 * snapshot.
 *
 * @throws {VmcoreError} when the text holds no memory map
 */
export function parseMemoryMap(text: string): IomemMap {
  return parseIomem(text.trimStart().startsWith('{') ? iomemOfJson(text) : text);
}

function iomemOfJson(text: string): string {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch (cause) {
    throw new VmcoreError(`not JSON (${(cause as Error).message})`, { cause });
  }
  const lines = (value as { readonly iomem?: unknown } | null)?.iomem;
  if (!Array.isArray(lines) || !lines.every((line) => typeof line === 'string')) {
    throw new VmcoreError('`iomem` is missing: expected an array of lines of /proc/iomem');
  }
  return lines.join('\n');
}
