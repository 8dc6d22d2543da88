import type { PageBytes } from '@heki/inspector';
import { PAGE_SIZE, type PageView, type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import type { KernelNames } from '@heki/symbols';
import { hex16 } from '../../hex.ts';
import { codeLines } from '../../read/code-lines.ts';
import { disassemble } from '../../read/disassemble.ts';
import { hexLines } from '../../read/hex-dump.ts';

/**
 * The bytes of a page: as instructions at the address that it is executed at, or in hexadecimal.
 *
 * @param page `undefined` where there are none
 * @param names of what instructions lead to
 */
export async function pageBytes(
  page: PageView | undefined,
  frame: number,
  address: VirtualAddress | undefined,
  names: KernelNames | undefined,
): Promise<PageBytes> {
  const at = address ?? virtualAddress(BigInt(frame * PAGE_SIZE));
  if (page === undefined) return { address: hex16(at), lines: [], isCode: false };
  const bytes = new Uint8Array(page.buffer, page.byteOffset, PAGE_SIZE);
  if (address === undefined) return { address: hex16(at), lines: [...hexLines(bytes, at)], isCode: false };
  return { address: hex16(at), lines: [...codeLines(await disassemble(bytes, at), names)], isCode: true };
}
