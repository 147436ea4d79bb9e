# A model for `llm`, the command line of many models: a key under a name, and a line of its file of models.
#
# pip install llm
# export OPENAI_BASE_URL=http://127.0.0.1:8787/v1 OPENAI_API_KEY=nbgw_...
set -eu
llm keys set neuralbox --value "$OPENAI_API_KEY"
cat >> "$(dirname "$(llm logs path)")/extra-openai-models.yaml" <<END
- model_id: nb-gpt-5
  model_name: gpt-5
  api_base: $OPENAI_BASE_URL
  api_key_name: neuralbox
END
llm -m nb-gpt-5 'A caption for a heron'
llm -m nb-gpt-5 --continue 'Another one'
