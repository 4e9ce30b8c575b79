# The project for GPU nodes, from the same lock as `make install`; the torch of PyPI brings CUDA with it.
#
#   docker build -t gemvg .
#   docker run --gpus all -v /data:/data -v "$PWD/runs:/gemvg_repro/runs" gemvg python sweeps/launch.py --cluster local
#
# The whole Debian image: Triton compiles its kernels with gcc, which the slim one lacks.
FROM python:3.11-bookworm

WORKDIR /gemvg_repro
COPY requirements.lock .
RUN pip install --no-cache-dir -r requirements.lock
COPY . .
RUN pip install --no-cache-dir --no-deps -e .

CMD ["python", "-m", "gemvg_repro.preflight", "--profile", "paper"]
