import { packageConfig } from '../vitest/index.mjs';

export default packageConfig(import.meta.url);
