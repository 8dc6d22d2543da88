import { frameOf, type Gfn, gpa, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { RegionBases } from '@heki/vmcore';
import { DUMP_LIMITS } from '@heki/vmcore/limits';
import { z } from 'zod';
import { parseJson } from './input/parse-json.ts';

const address = z
  .string()
  .regex(/^0x[0-9a-f]{1,16}$/i, 'expected an address as "0xffffffff81000000"')
  .transform((text) => virtualAddress(BigInt(text)));

const register = z
  .string()
  .regex(/^0x[0-9a-f]{1,16}$/i, 'expected the value of a register as "0xd01"')
  .transform(BigInt);

const frame = z
  .string()
  .regex(/^0x[0-9a-f]{1,10}000$/i, 'expected the address of a page as "0x1234000"')
  .transform((text) => frameOf(gpa(Number(text))));

const { nameCharacters } = DUMP_LIMITS;
const shown = z.string().max(nameCharacters, `expected at most ${nameCharacters} characters`);

/** NAME.json beside NAME.elf.gz: what is known of the guest and is not in its dump. Everything may be missing. */
const sidecarSchema = z.object({
  kernel: shown.optional(),
  cmdline: shown.optional(),
  iomem: z.array(z.string()).optional(),
  page_offset_base: address.optional(),
  vmalloc_base: address.optional(),
  vmemmap_base: address.optional(),
  cr4: register.optional(),
  efer: register.optional(),
  hypercall_page: frame.optional(),
  symbols: z.record(shown, address).optional(),
});

/** The keys of it that commands read. */
export type SidecarKey = keyof z.infer<typeof sidecarSchema>;

/** What stands beside a snapshot. */
export interface Sidecar {
  readonly path: string;
  /** File name for people. */
  readonly name: string;
  readonly kernel: string | undefined;
  readonly commandLine: string | undefined;
  readonly hasMemoryMap: boolean;
  readonly directMap: VirtualAddress | undefined;
  /** Where vmalloc and vmemmap begin, which KASLR moves. */
  readonly bases: RegionBases;
  /** CR4 of the first CPU, for a dump that has no control registers. */
  readonly cr4: bigint | undefined;
  /** IA32_EFER of the first CPU, which a dump does not hold (QEMU: `info registers`). */
  readonly efer: bigint | undefined;
  /** The page by which a guest of Hyper-V calls it; what makes an extract knows its contents. */
  readonly hypercallPage: Gfn | undefined;
  readonly symbols: ReadonlyMap<string, VirtualAddress>;
}

/**
 * What stands beside a snapshot.
 *
 * @param beside the path of `text`
 * @param name its file name
 * @throws {InputError} when it is damaged
 */
export function parseSidecar(text: string, beside: string, name: string): Sidecar {
  const { kernel, cmdline, iomem, cr4, efer, hypercall_page, symbols, ...bases } = parseJson(
    text,
    beside,
    sidecarSchema,
  );
  return {
    path: beside,
    name: name,
    kernel,
    commandLine: cmdline,
    hasMemoryMap: iomem !== undefined,
    directMap: bases.page_offset_base,
    bases: { vmalloc: bases.vmalloc_base, vmemmap: bases.vmemmap_base },
    cr4,
    efer,
    hypercallPage: hypercall_page,
    symbols: new Map(Object.entries(symbols ?? {})),
  };
}
