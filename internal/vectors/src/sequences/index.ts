export { exceptionText, runOnModel, TOLD } from './model.ts';
export {
  BASE,
  flagsText,
  type Instruction,
  type InstructionName,
  type Judge,
  parseSequences,
  type Sequence,
  type SequenceProcessor,
} from './sequence.ts';
export { LAYOUT, type Poke, ROOT, SequenceTables } from './tables.ts';
