/** Begins to write an attribute, and has nothing else to do. */
import { writeAttribute } from '../../../src/host/attribute-writer.ts';

const [path = '', held = ''] = process.argv.slice(2);
void writeAttribute(path, '1', held);
// The event loop has turned by then, and the write has begun.
await new Promise((resolve) => setTimeout(resolve, 3000));
