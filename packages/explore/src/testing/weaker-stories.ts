import type { AuthorityDefectId } from '@heki/code-authority';

/** The shortest story of each weaker variant, and what it breaks. */
export const WEAKER_STORIES: {
  readonly [id in AuthorityDefectId]: readonly [property: string, ...story: readonly string[]];
} = {
  'B-A1': ['P6', 'the guest asks to open the text', 'processor 0 stores to the text'],
  'B-A2': ['P6', 'the guest asks for the tail of the tracing site, as when it jumps'],
  'B-A3': ['P6', 'the guest asks for the module, with a site of its own'],
  'B-A4': [
    'P6',
    'processor 0 clears a free page',
    'the guest asks for the module in a free page',
    'processor 0 stores to a free page',
  ],
  'B-A5': ['P12', 'the guest asks to give the init text back', 'the guest asks for the init site in state 1'],
  'B-A6': [
    'P6',
    'the guest writes the bytes that the module would have into a free page',
    'the guest begins to ask for the module in a free page, which comes to its point 2',
    'processor 0 stores to a free page',
    'the owner comes to an end',
  ],
  'B-A7': ['KEY', 'the guest asks for the LSM site in state 1'],
  'B-A8': ['P6', 'processor 0 stores to the second name of the text'],
  'B-A9': [
    'P6',
    'the guest asks for a module that exports what the kernel does',
    'the guest asks for the module in a free page',
  ],
  'B-A10': [
    'LINK',
    'the guest asks for the module in a free page',
    'the guest asks for the module that calls it in another page',
    'the guest asks to unload the callee',
  ],
  'B-A11': ['P12', 'processor 0 stores to a free page', 'the guest asks for the module in a free page'],
  'B-A12': [
    'LOCK',
    'the machine is reset, and the kernel boots',
    'the kernel boots as on one processor: DS in place of LOCK',
    'the guest asks for the seal, with LOCK gone',
  ],
  'B-A13': ['P6', 'the guest asks for a pack', 'the guest asks for a program of the attacker’s bytes'],
  'B-A14': [
    'P6',
    'the guest asks for a pack',
    'the guest asks for a program of which the attacker has chosen a half',
  ],
};
