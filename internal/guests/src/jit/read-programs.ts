import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { CodeAreas, LoadedCode, SymbolTable } from '@heki/symbols';
import type { VirtualMemory } from '@heki/vmcore';

/** What the JIT of a guest has made of a program: all of it, without the INT3 around it. */
export interface CompiledProgram {
  /** `bpf_prog_TAG_NAME`, or that it is a classic filter, which has no name. */
  readonly name: string;
  readonly address: VirtualAddress;
  readonly bytes: Uint8Array;
}

/** BPF_PROG_PACK_SIZE of one node: behind the packs of all lies a guard page. */
const PACK = 2 ** 21;
/** BPF_PROG_CHUNK_SIZE. */
const CHUNK = 64;
/** Of struct bpf_binary_header, in front of a program: its chunks in bytes, 32 bits; then where the image may begin. */
const HEADER = 8;
const INT3 = 0xcc;

/** All programs in packs, also classic filters, which the kernel does not list. */
export function readPrograms(
  memory: VirtualMemory,
  { generated }: CodeAreas,
  { bpf }: LoadedCode,
): CompiledProgram[] {
  const isProgram = ({ name }: { readonly name: string }): boolean => name.startsWith('bpf_prog_');
  const found: CompiledProgram[] = [];
  for (const pack of generated.filter(({ what }) => what === 'eBPF pack')) {
    const length = Number(pack.end - pack.start);
    const bytes = memory.read(pack.start, length - (length % PACK));
    if (bytes === undefined) throw new Error(`the pack at 0x${pack.start.toString(16)} is not in the dump`);
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let chunk = 0; chunk < bytes.length; ) {
      const size = view.getUint32(chunk, true);
      // Free, or a trampoline, or a dispatcher: they have no header.
      if (size === 0 || size % CHUNK !== 0 || size > bytes.length - chunk) {
        chunk += CHUNK;
        continue;
      }
      let [start, end] = [chunk + HEADER, chunk + size];
      while (bytes[start] === INT3) start++;
      const address = virtualAddress(pack.start + BigInt(start));
      const listed = bpf.find((code) => code.start === address);
      // Behind a program that is listed may be its table of exceptions, which is no code.
      if (listed !== undefined) end = Number(listed.end - pack.start);
      else while (bytes[end - 1] === INT3) end--;
      found.push({ name: listed?.name ?? 'classic filter', address, bytes: bytes.slice(start, end) });
      chunk += size;
    }
  }
  const missing = bpf.filter(
    (code) => isProgram(code) && !found.some(({ address }) => address === code.start),
  );
  if (missing.length > 0)
    throw new Error(`not found in packs: ${missing.map(({ name }) => name).join(', ')}`);
  return found;
}

/** Functions of the kernel that programs lead to, by name: wherever a CALL or JMP may be meant. */
export function functionsLedTo(
  programs: readonly CompiledProgram[],
  symbols: SymbolTable,
): Map<string, VirtualAddress> {
  const functions = new Map<bigint, string>();
  for (let index = 0; index < symbols.size; index++) {
    const { address, name } = symbols.symbol(index);
    functions.set(address, name);
  }
  const found = new Map<string, VirtualAddress>();
  for (const { address, bytes } of programs) {
    const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    for (let at = 0; at + 5 <= bytes.length; at++) {
      if (bytes[at] !== 0xe8 && bytes[at] !== 0xe9) continue;
      const to = BigInt.asUintN(64, address + BigInt(at + 5 + view.getInt32(at + 1, true)));
      const name = functions.get(to);
      if (name !== undefined) found.set(name, virtualAddress(to));
    }
  }
  return found;
}
