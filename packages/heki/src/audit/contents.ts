import {
  compareImage,
  type ImageComparison,
  type ImageRange,
  imageAddress,
  type RunningKernel,
  readKprobes,
} from '@heki/patch-sites';
import { virtualMemoryOf } from '@heki/vmcore';
import { InputError } from '../failure.ts';
import type { Names } from '../names/names.ts';
import type { Snapshot } from '../snapshot.ts';
import { compareModules } from './module-contents.ts';
import { runningImage } from './running-image.ts';

/**
 * What runs beside the image that `--vmlinux` names.
 *
 * @throws {InputError} when it has no symbols, or not those that tell where its code ends
 */
export async function compareContents(
  path: string,
  snapshot: Snapshot,
  names: Names,
): Promise<ImageComparison | undefined> {
  const { image, kernel } = names;
  const found = runningImage(path, snapshot, names);
  if (found === undefined) return undefined;
  const { view, table, symbols, live, capabilities } = found;
  const guest = virtualMemoryOf(snapshot.tables);
  const [probes] = table.named('kprobe_table');
  const running: RunningKernel = {
    live,
    probes: probes === undefined ? [] : readKprobes(guest.read, probes.address),
    bpf: bpfCode(kernel),
    capabilities: BUILT_RELEASES.test(image?.release ?? '') ? capabilities : undefined,
  };
  const compared = compareImage(view, running);
  if (typeof compared === 'string') throw new InputError(compared, { file: path });
  return {
    ...compared,
    ...(await compareModules(path, kernel, table, {
      symbols,
      running: { ...running, core: view },
    })),
  };
}

/** Those whose way of patching was held to dumps of real guests, byte by byte: others write other NOPs. */
const BUILT_RELEASES = /^6\.(1|12)\.\d/;

/** Code that eBPF made, as the guest lists it. */
function bpfCode({ loaded }: Names['kernel']): ImageRange[] {
  if (typeof loaded === 'string') return [];
  return loaded.bpf.map(({ start, end }) => ({ start: imageAddress(start), end: imageAddress(end) }));
}
