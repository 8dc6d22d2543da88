import type { VirtualAddress } from '@heki/physical-memory';
import { ownerOfCode, sealCode } from '../code/sealed-code.ts';
import { attempt } from '../outcome.ts';
import { INT3 } from '../text/instructions.ts';
import { type BpfState, CHUNK, pokePages } from './prog-pack.ts';
import { addSealedProgram, makeSealedPack } from './sealed-packs.ts';

/**
 * `sealCode`, with the programs that boot has compiled: int3 takes their place, and their owner puts them back once it has judged them. Nothing runs
 * them meanwhile: in Linux that is done with the other processors stopped. One that is refused is gone, and its filter interpreted.
 *
 * @throws {KernelStop} when text cannot be read or written
 */
export function sealWithPrograms(kernel: BpfState): void {
  const { packs, programs } = kernel.bpf;
  if (ownerOfCode(kernel) === undefined || packs.size === 0) {
    sealCode(kernel);
    return;
  }
  const taken = new Map<VirtualAddress, Uint8Array>();
  for (const [address, { chunks }] of programs) {
    const bytes = kernel.memory.load(address, chunks * CHUNK);
    taken.set(address, bytes);
    pokePages(kernel, address, new Uint8Array(bytes.length).fill(INT3));
  }
  sealCode(kernel);
  const { sealed } = kernel;
  if (sealed === undefined) {
    for (const [address, bytes] of taken) pokePages(kernel, address, bytes);
    return;
  }
  for (const pack of packs) {
    const made = attempt(() => {
      pack.code = makeSealedPack(sealed, pack.area);
    });
    // Its pages execute nothing any more.
    if (made.kind !== 'done') packs.delete(pack);
  }
  for (const [address, bytes] of taken) {
    const program = programs.get(address);
    if (program === undefined) continue;
    const { pack, first, chunks } = program;
    const added = attempt(() => addSealedProgram(kernel, sealed, pack.code, first, bytes));
    if (added.kind === 'done') continue;
    kernel.emit({ type: 'warning', text: 'the owner of the code refuses an eBPF program of boot' });
    programs.delete(address);
    pack.used.fill(false, first, first + chunks);
  }
}
