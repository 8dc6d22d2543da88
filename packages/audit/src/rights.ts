import { PageRights } from '@heki/x86';

/** What a mapping lets its users do, as one number; READ comes with every mapping. */
export const Rights = { READ: 1, WRITE: 2, EXECUTE: 4, USER: 8 } as const;

/** The rights of a mapping whose entries together say `effective`, an OR of `PageRights`. */
export function rightsOf(effective: number): number {
  return (
    Rights.READ |
    ((effective & PageRights.WRITE) === 0 ? 0 : Rights.WRITE) |
    ((effective & PageRights.EXECUTE_DISABLE) === 0 ? Rights.EXECUTE : 0) |
    ((effective & PageRights.USER) === 0 ? 0 : Rights.USER)
  );
}

/** `r-x`; `r-xu` for what user mode may reach. */
export function rightsText(rights: number): string {
  const letter = (right: number, text: string): string => ((rights & right) === 0 ? '-' : text);
  return `${letter(Rights.READ, 'r')}${letter(Rights.WRITE, 'w')}${letter(Rights.EXECUTE, 'x')}${(rights & Rights.USER) === 0 ? '' : 'u'}`;
}
