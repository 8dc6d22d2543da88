import type { Gfn, PhysicalMemory, VirtualAddress } from '@heki/physical-memory';
import type { KernelNames, Place } from '@heki/symbols';
import type { ChosenRoot, ProvenRoot } from '@heki/vmcore';
import { type Access, CR4, type PagingRegisters, type Translation, translate } from '@heki/x86';
import type { AssumedProcessor } from '../assumed-processor.ts';
import type { Snapshot } from '../snapshot.ts';
import { tableWarnings, userHalfWarnings, type Warning } from '../warning.ts';

/** All that is told of a translation. */
export interface TranslationAnswer {
  readonly va: VirtualAddress;
  readonly access: Access;
  readonly tables: ProvenRoot | ChosenRoot;
  readonly registers: PagingRegisters;
  readonly translation: Translation;
  readonly processor: AssumedProcessor;
  readonly place: Place | undefined;
  readonly warnings: readonly Warning[];
}

/** The first address of the kernel's half. */
export const KERNEL_HALF = 1n << 63n;

/**
 * What an access meets.
 *
 * @param names what is at addresses of the kernel, where that is known
 * @param memory in place of that which the tables are in
 */
export function translationAnswer(
  { core, tables }: Pick<Snapshot<ProvenRoot | ChosenRoot>, 'core' | 'tables'>,
  processor: AssumedProcessor,
  names: KernelNames | undefined,
  va: VirtualAddress,
  access: Access,
  memory: PhysicalMemory<Gfn> = tables.memory,
): TranslationAnswer {
  const registers = { ...processor.registers, cr3: BigInt(tables.root) << 12n };
  const translation = translate(registers, memory, va, access, processor.cpu);
  return {
    va,
    access,
    tables,
    registers,
    translation,
    processor,
    place: names?.at(va),
    warnings: [
      ...tableWarnings(core, tables),
      ...(va < KERNEL_HALF ? userHalfWarnings(tables) : []),
      ...processor.warnings,
      ...keyWarnings(access, registers, translation),
    ],
  };
}

/** A page with a key other than 0 may be closed by PKRU or IA32_PKRS, which a dump does not hold. */
function keyWarnings(access: Access, { cr4 }: PagingRegisters, { steps }: Translation): Warning[] {
  const leaf = steps.at(-1)?.entry;
  if (leaf === undefined || !leaf.leaf || leaf.key === 0 || access.kind === 'fetch') return [];
  const user = steps.every(({ entry }) => entry.flags.includes('US'));
  if ((cr4 & (user ? CR4.PKE : CR4.PKS)) === 0n) return [];
  const register = user ? 'PKRU' : 'IA32_PKRS';
  const message = `${register} is not in a dump and is taken as 0: protection key ${leaf.key} forbids nothing here`;
  return [{ id: 'protection-keys', message }];
}
