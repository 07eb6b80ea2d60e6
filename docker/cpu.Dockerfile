# rwkv-train for the CPU. From the top of the clone:
#   docker build -f docker/cpu.Dockerfile -t rwkv-train .
#   docker run --rm -v "$PWD/runs:/work/runs" rwkv-train                       (configs/quickstart.yaml)
#   docker run --rm -v "$PWD:/data" rwkv-train /data/my.yaml --set run.dir=/data/runs/my
# A mounted directory must be writable for user 1000, or add --user "$(id -u)". The image also holds `rwkv`:
#   docker run --rm -it --entrypoint rwkv rwkv-train bench gemm
FROM debian:12-slim AS build
WORKDIR /src
# The list of packages stands in scripts/common.sh only; this layer is redone when it changes, not with every source.
COPY scripts/common.sh scripts/
RUN bash -c 'set -euo pipefail; . scripts/common.sh; install_missing "$build_needs" "$optional_needs"'
COPY . .
# The image runs on other machines than this one: AVX2 is asked for, not what the building machine happens to have.
ARG RT_ARCH=x86-64-v3
RUN cmake --preset cpu -DRT_TESTS=OFF -DRT_ARCH="$RT_ARCH" && cmake --build --preset cpu --target rwkv-train rwkv

FROM debian:12-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends \
      libstdc++6 libgomp1 libdnnl2 libpcre2-8-0 libsentencepiece0 libgloo0 libsimdjson14 libzstd1 zlib1g libyaml-cpp0.7 \
      libspdlog1.10 libfmt9 \
 && rm -rf /var/lib/apt/lists/* \
 && useradd --create-home --uid 1000 rwkv \
 && install -d -o rwkv -g rwkv /work /work/runs
COPY --from=build /src/build/cpu/bin/rwkv-train /src/build/cpu/bin/rwkv /usr/local/bin/
COPY configs /work/configs
USER rwkv
WORKDIR /work
ENTRYPOINT ["rwkv-train"]
CMD ["configs/quickstart.yaml"]
