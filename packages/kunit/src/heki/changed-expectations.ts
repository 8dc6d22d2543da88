/** One expectation that the ports do not share with the published tests. */
export interface ChangedExpectation {
  readonly test: string;
  readonly published: string;
  readonly port: string;
  readonly why: string;
}

/** Everything in which the ports differ from the tests of Heki v2 19/19. */
export const CHANGED_EXPECTATIONS: readonly ChangedExpectation[] = [
  {
    test: 'heki_test_cr_disable_smep',
    published: 'the move to CR4 completes without effect',
    port: 'the move to CR4 ends with #GP(0), which the exception table leads on from',
    why: 'KVM injects #GP at the move; without an entry in the exception table the thread oopses and the test fails where protection works',
  },
  ...['heki_test_write_to_const', 'heki_test_write_to_ro_after_init'].flatMap((test) => [
    {
      test,
      published: 'set_memory_rw() returns 0',
      port: 'set_memory_rw() returns -EPERM, and a plain store makes the page-table entry writable',
      why: 'a mended kernel hears that KVM refused and changes nothing; the entry is changed past the kernel, so that the second level is tested all the same',
    },
    {
      test,
      published: 'the store completes without effect',
      port: 'the store ends with #PF 0x3 (#GP(0) where the hypervisor answers so), which the exception table leads on from',
      why: 'KVM injects #PF at the store; Linux takes it for a stale translation and retries it for ever',
    },
  ]),
  {
    test: 'heki_test_exec',
    published: 'set_memory_rox() returns 0',
    port: 'set_memory_rox() returns -EPERM, and a plain store takes NX out of the page-table entry',
    why: 'a mended kernel hears that KVM refused and changes nothing; the entry is changed past the kernel, so that the second level is tested all the same',
  },
  {
    test: 'heki_test_exec',
    published: 'the call returns 3',
    port: 'the call ends with #PF 0x11 (or #GP(0)), which the exception table leads on from by the address of the function',
    why: 'no function that adds one returns 3; where the fetch is refused, Linux retries it for ever',
  },
];
