import { PAGE_SIZE, virtualAddressOf } from '@heki/physical-memory';
import type { SealedCode } from '../code/code-state.ts';
import { remember, retireSealed, withPages } from '../code/sealed-code.ts';
import { setMemoryRox } from '../mm/set-memory.ts';
import type { VmArea } from '../mm/vm-area.ts';
import { moduleAlloc, vfree } from '../mm/vmalloc.ts';
import { fail, KernelStop } from '../outcome.ts';
import type { TextState } from '../text/text-state.ts';

/**
 * A pack where code is sealed: its owner has it filled with int3, and alone writes there. An error leaves nothing behind.
 *
 * @throws {KernelStop} -ENOMEM, or a refusal of the owner's or of Heki
 */
export function allocateSealedPack(
  kernel: TextState,
  sealed: SealedCode,
  pages: number,
): { readonly area: VmArea; readonly code: number } {
  const area = moduleAlloc(kernel, pages);
  let code: number | undefined;
  try {
    kernel.memory.store(virtualAddressOf(area.start), new Uint8Array(pages * PAGE_SIZE));
    code = makeSealedPack(sealed, area);
    setMemoryRox(kernel, area.start, pages);
    return { area, code };
  } catch (stop) {
    if (stop instanceof KernelStop && stop.outcome.kind === 'error') {
      retireSealed(kernel, code);
      vfree(kernel, area);
    }
    throw stop;
  }
}

/** Pages that hold nothing, or int3 alone, become a pack of the owner's. @throws {KernelStop} its refusal */
export function makeSealedPack(sealed: SealedCode, { start, pages, frames }: VmArea): number {
  const code = sealed.authority.makePack({ address: virtualAddressOf(start), frames });
  if (code <= 0) return fail(-code, `the owner of the code makes no pack for eBPF programs: ${code}`);
  remember(sealed, code, virtualAddressOf(start), pages, []);
  return code;
}

/** @throws {KernelStop} -ENOMEM, or the owner's refusal */
export function addSealedProgram(
  kernel: TextState,
  { authority }: SealedCode,
  pack: number | undefined,
  slot: number,
  code: Uint8Array,
): void {
  const result = withPages(kernel, code, (frames) =>
    authority.addProgram(pack ?? 0, slot, { bytes: code.length, frames }),
  );
  if (result !== 0) fail(-result, `the owner of the code refuses the program: ${result}`);
}

/** @throws {KernelStop} the owner's refusal */
export function removeSealedProgram({ authority }: SealedCode, pack: number | undefined, slot: number): void {
  const result = authority.removeProgram(pack ?? 0, slot);
  if (result !== 0) fail(-result, `the owner of the code keeps the program: ${result}`);
}
