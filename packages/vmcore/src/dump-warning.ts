/** What a reader must know of a dump as a file: one sentence for people without a full stop, under an id that stays. */
export interface DumpWarning {
  readonly id:
    | 'truncated'
    | 'incomplete'
    | 'no-format'
    | 'unsearched'
    | 'running'
    | 'vmcoreinfo-differs'
    | 'bitmap-contradicted'
    | 'ram-file'
    | 'unversioned';
  readonly message: string;
}
