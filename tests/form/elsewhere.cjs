// node elsewhere.cjs DIR SCRIPT: runs what a card says of transformers.js, and prints the vectors of the texts in DIR/texts.json.
const { env, pipeline, AutoModel, AutoTokenizer } = require("@huggingface/transformers");
const [place, name, script] = process.argv.slice(2);
env.localModelPath = place;
env.allowRemoteModels = false;
const texts = require(`${place}/texts.json`);
const AsyncFunction = (async () => {}).constructor;
(async () => {
  const tokenizer = await AutoTokenizer.from_pretrained(name);
  const found = await new AsyncFunction("pipeline", "AutoModel", "tokenizer", "texts", script)(pipeline, AutoModel, tokenizer, texts);
  console.log(JSON.stringify(found.tolist()));
})();
