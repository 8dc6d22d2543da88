import { type VirtualAddress, virtualAddress } from '@heki/physical-memory';
import { UsageError } from './failure.ts';

/** 16 hexadecimal digits, as page-table dumps print addresses. */
export function hex16(value: number | bigint): string {
  return value.toString(16).padStart(16, '0');
}

/**
 * A virtual address as people paste it: hexadecimal, with or without `0x`, digits grouped by `_` or not.
 *
 * @throws {UsageError} when it is not one
 */
export function parseVirtualAddress(text: string): VirtualAddress {
  const digits = /^(?:0x)?([0-9a-f_]+)$/i.exec(text)?.[1]?.replaceAll('_', '') ?? '';
  if (digits === '' || digits.replace(/^0+/, '').length > 16) {
    throw new UsageError(
      `"${text}" is not a virtual address: expected at most 16 hexadecimal digits, as 0xffffffff81000000`,
    );
  }
  return virtualAddress(BigInt(`0x${digits}`));
}
